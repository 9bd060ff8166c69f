"""Evaluation of output files: predicted against true instances, by event, class and instance; tables of the results."""
