"""What the first page needs, imported while the browser still loads its scripts: `begin` is called before the server
listens."""

from __future__ import annotations

import importlib
import logging
import threading

from common import threads

FIRST = ("torch", "pandas", "study.scoring.scorer", "latent.editing.render")


def take_a_thread() -> None:
    """Put this server on record as the holder of one thread, before anything imports torch: the page stays alive while
    other processes of the project use the other cores. Again: nothing."""
    threads.announce("The app's page", 1)


def begin() -> None:
    """Take a thread, and import in the background."""
    take_a_thread()
    threading.Thread(target=_import, name="first imports", daemon=True).start()


def _import() -> None:
    try:
        for name in FIRST:
            importlib.import_module(name)
    except Exception:
        logging.getLogger(__name__).exception("Importing ahead failed")  # the page that needs it says so in a sentence
