"""How well a study's model predicts by the number of its patients, and how many a target would take."""
