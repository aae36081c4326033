"""python -m study VERB: intake, example, check, simulate, quality, embed, fit, cox, compare, choose, robustness,
report, score.

Exit codes: 0 done, 1 refused (with one sentence), 2 wrong arguments, 130 stopped, 141 the output's reader left.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from faces.errors import FaceError
from latent.console import reader_left
from latent.errors import LatentError
from study.errors import StudyError
from survival.errors import SurvivalError

VERBS = {
    "intake": "make a study from a table and, where there are any, photos",
    "example": "make a study of a real cohort that comes with scikit-survival (clinical columns alone)",
    "check": "look a study over: every problem by row, with what to do",
    "simulate": "make a study of simulated patients from rendered portraits",
    "quality": "align and measure every photo, with flags and thumbnails (can be stopped and goes on)",
    "embed": "turn every photo of a study into a W+ code (can be stopped and goes on)",
    "fit": "fit the photo model and report how well it predicts, out of fold",
    "cox": "an unpenalised Cox regression on the clinical columns, with its tests",
    "compare": "compare models on the same folds and keep the result (can be stopped and goes on)",
    "report": "write all that was done and found as one HTML file, with checklist and model card",
    "choose": "make a compared model the study's model, for Portrait and Health direction",
    "robustness": "how far scores move when only the photo changes: light, blur, crop and more (goes on after a stop)",
    "score": "score a photo, or a folder of photos, against a study",
}
STOPPED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code. What a person can act on is one sentence on stderr, never a traceback."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m study", description="Cohorts: from photos and times to a risk.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in VERBS.items():
        sub = verbs.add_parser(verb, help=text, description=text)
        # Only the verb asked for is imported: torch and the statistics stack take seconds.
        if verb in argv[:1]:
            module = importlib.import_module(f"study.{verb}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    try:
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return reader_left()
    except (StudyError, FaceError, LatentError, SurvivalError) as error:
        print(f"study {args.verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nstudy {args.verb}: stopped; run the same command again to go on.", file=sys.stderr)
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
