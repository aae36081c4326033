"""Models of a study compared: plan, run, the result on disk, and one of them chosen as the study's model."""
