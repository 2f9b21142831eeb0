"""Files to the server and back: which, what differs, the way there, and the proof that they arrived."""
