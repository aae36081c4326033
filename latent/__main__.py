"""`python -m latent VERB`: models from the command line. `python -m latent VERB --help` explains one."""

import argparse
import importlib
import sys

from latent.console import reader_left
from latent.errors import LatentError

# Only the module of the verb that was asked for is imported: each needs others, some of them slow.
VERBS = {
    "import": ("latent.importing.cli", "turn an NVIDIA .pkl or a rosinality, e4e or pSp .pt into a checkpoint"),
    "dataset": ("latent.dataset", "align folders and zip files of photos into a training set"),
    "warmstart": ("latent.warmstart.cli", "train or fine-tune a generator by reconstructions and a projected critic"),
    "finetune": ("latent.finetune.cli", "train a generator against a discriminator, from a checkpoint or from scratch"),
    "train-encoder": ("latent.train_encoder", "train the encoder of a checkpoint"),
    "evaluate": ("latent.evaluate", "measure how close a checkpoint's samples are to portraits"),
}
STOPPED = 130  # as a shell reports Ctrl-C


def main(arguments: list[str] | None = None) -> int:
    """Run one verb: 0 when it did its work, 1 with one sentence why not, 130 after Ctrl-C, 141 when its reader left."""
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
        code = int(module.run(options))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return reader_left()
    except LatentError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nlatent {verb}: stopped; run the same command again to go on.", file=sys.stderr)
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
