"""The 33 characters of a vehicle identification number (ISO 3779: no I, O, Q).

The position of a character in `CHARACTERS` is its class index everywhere: in the data, in the
network's output, in the confusion matrix and in the exported model's labels.
"""

CHARACTERS = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"
INDEX = {character: index for index, character in enumerate(CHARACTERS)}
