"""From features to scores: of recordings, and of trials."""
