"""Error sentences for names that are not among the valid ones."""

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> str:
    """Returns a sentence that names the nearest valid choice and lists all of them."""
    choices = [str(choice) for choice in valid]
    near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown {kind} {str(name)!r}.{hint} Valid: {', '.join(choices)}."
