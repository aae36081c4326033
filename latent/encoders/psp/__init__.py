"""Encoders of the pSp family (pSp: arXiv:2008.00951, e4e: arXiv:2102.02766), whose published weights can be imported.

Our own code; the names of the parameters are those of the published files, so that weights fit as they are.
"""

from latent.encoders.psp.encoder import KINDS, StyleEncoder

__all__ = ["KINDS", "StyleEncoder"]
