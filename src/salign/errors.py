"""The one error for mistakes a user can mend; apart from the rest so that showing it needs no heavy import."""


class SalignError(Exception):
    """A mistake the user can mend; the message says what was expected, what came and what to do."""
