"""What is read off an output file: tables, figures and numbers of physics."""
