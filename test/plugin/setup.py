"""A plugin of mlreco, installed by the tests: a stage, a parser, a reader and a post-processor by entry points."""

from setuptools import setup

setup(
    name="mlreco-testplugin",
    version="1.0",
    packages=["mlreco_testplugin"],
    entry_points={
        "mlreco.models": ["brightness = mlreco_testplugin.stages:Brightness"],
        "mlreco.parsers": ["parse_bright = mlreco_testplugin.parsers:parse_bright"],
        "mlreco.readers": ["voxel_text = mlreco_testplugin.readers:VoxelTextReader"],
        "mlreco.post_processing": ["one_instance = mlreco_testplugin.post_processors:OneInstance"],
    },
)
