"""pipeline.yaml -> cells: the images that a team builds, each a profile with wishes.

document   the file, as it is written
expand     which cells it means
judged     each with its resolution and tags, or with the reason why there is none
formats    for people, scripts, GitHub and bake
"""
