"""The one exception for mistakes that a user can mend."""


class MiradaError(Exception):
    """A mistake in a configuration, a file or an environment, told in one sentence.

    The message names the file or key, says what was wrong and what to do. Entry points print it on stderr, without a
    traceback, and exit with status 1.
    """
