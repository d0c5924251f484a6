"""What leaves the tracker as a file: a study's report in every format."""
