"""`parley bench`: what is measured on real calls, on the media path, and on the wait at the end of a turn."""
