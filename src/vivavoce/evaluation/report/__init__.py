"""What an evaluation found, and the page that shows it."""
