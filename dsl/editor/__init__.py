"""What editors ask about a spec: each feature is a function of a compiled document and a position in it.

Positions are code points from the start of the text, as everywhere in the compiler. Nothing here knows of a protocol.
"""
