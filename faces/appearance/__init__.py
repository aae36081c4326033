"""What the pixels of an aligned face show: whether mouth and eyes are visible (`covered`), and colours (`colour`)."""
