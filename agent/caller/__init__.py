"""The other end of a call: an aiortc peer in its own process, with a mouth and an ear, and `parley call`."""
