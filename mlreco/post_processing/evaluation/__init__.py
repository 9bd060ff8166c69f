"""What an output file is worth: instances against the truth, by event, class and instance; tables of it."""
