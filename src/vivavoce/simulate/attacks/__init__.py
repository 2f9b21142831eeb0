"""What stands before the phone, moves and sounds: one function for each kind of recording."""
