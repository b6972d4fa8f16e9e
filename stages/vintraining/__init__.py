"""What only the workflow needs: data, handwriting, the network and its scores.

It imports `vinreader`, the reading part, never the other way round.
"""
