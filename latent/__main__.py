"""`python -m latent VERB`: models from the command line. `python -m latent VERB --help` explains one."""

import argparse
import importlib
import sys

from latent.errors import LatentError

# Only the module of the verb that was asked for is imported: each needs others, some of them slow.
VERBS = {
    "import": ("latent.importing.cli", "turn an NVIDIA .pkl or a rosinality .pt into a checkpoint"),
    "dataset": ("latent.dataset", "align folders of portraits into a training set"),
    "warmstart": ("latent.warmstart", "train a generator from portraits with known factors"),
    "train-encoder": ("latent.train_encoder", "train the encoder of a checkpoint"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb: 0 when it did its work, 1 with one sentence on stderr when it could not."""
    words = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m latent", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, (_, summary) in VERBS.items():
        verbs.add_parser(verb, help=summary, add_help=False)
    verb = parser.parse_args(words[:1]).verb
    module = importlib.import_module(VERBS[verb][0])
    own = argparse.ArgumentParser(prog=f"python -m latent {verb}", description=module.__doc__)
    module.add_arguments(own)
    options = own.parse_args(words[1:])
    try:
        return int(module.run(options))
    except LatentError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
