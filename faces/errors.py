"""Errors of the faces room. Each carries one sentence for the person at the screen."""


class FaceError(Exception):
    """Something about a photo or a face that the person can act on."""


class PhotoError(FaceError):
    """The bytes are not a photo that can be used."""


class NoFaceError(FaceError):
    """No face was found in a usable photo."""


class ArchiveError(FaceError):
    """A zip file of photos was refused as a whole, or one of its members cannot be read."""
