"""Trials: which enrolment meets which test recording, and what the truth is."""
