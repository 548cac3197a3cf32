"""Every night: which images of pipeline.yaml must be made again and why, and making, proving and promoting them.

before    what a registry has under the name of a cell
outside   what has moved since: distribution packages, files of indexes, images that are stood on
reasons   why a cell is made again, or proven again, or left as it is
decide    cell -> decision, with the lock that it is to be made from
state     the folder of a pipeline: who is at it, what the night has done so far, all nights before
work      a decision -> what came of it, by calls of `imagekit build` and its like
night     all of it, once
page      all nights as one page
notify    who is told when something has changed
"""
