"""Where raw rows come from. One file per kind: its typed settings and the function they steer.

`lastmile.pipeline.data.Source` lists the kinds; adding one costs a file here, a line there, a test.
"""
