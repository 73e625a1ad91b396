"""Error sentences for names that are not among the valid ones."""

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> str:
    """Returns a sentence that names the nearest valid choice and lists all of them.

    Capital letters do not count for what is near: 'RGGB' is next to 'rggb'.
    """
    choices = [str(choice) for choice in valid]
    folded = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(str(name).casefold(), folded, n=1, cutoff=0.5)
    hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
    return f"Unknown {kind} {str(name)!r}.{hint} Valid: {', '.join(choices)}."
