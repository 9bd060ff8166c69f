"""Between Python and machine code: compilation, memory and addresses."""
