"""Changes of a picture that change nothing about the person: what a camera does (`camera`), and a mirror (`mirror`)."""
