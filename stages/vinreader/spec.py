"""What everything agrees on: the alphabet, the sizes, and the errors that a user can mend.

The 33 characters are those of ISO 3779 (no I, O, Q). The position of a character in `CHARACTERS` is
its class index everywhere: in the data, in the network's output, in the confusion matrix and in the
exported model's labels.
"""

CHARACTERS = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"
INDEX = {character: index for index, character in enumerate(CHARACTERS)}
DIGITS = CHARACTERS[:10]
SIDE = 28  # pixels a side of a character as the network sees it
BOXES = 17  # of a card's field, one character of the number in each


class UserError(ValueError):
    """Something the user can mend; the text says what is wrong, where, and what to do."""


class ModelError(UserError):
    """A model file cannot be used; the text says which and why."""
