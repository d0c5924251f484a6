"""What a study is: its file, its knobs, its space."""
