"""Write the real cohorts of scikit-survival as CSV for reference.R and cox.R: python tests/data/r/export.py FOLDER"""

import sys
from pathlib import Path

from tests.survival.cohorts import COHORTS, load_cohort

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*COHORTS, "flchain"):
        features, time, event = load_cohort(name)
        features.assign(time=time, event=event.astype(int)).to_csv(folder / f"{name}.csv", index=False)
