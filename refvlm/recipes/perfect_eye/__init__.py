"""The perfect eye: a memory alone, shown words for pictures, to compare its wirings.

    wirings     what differs between two ways to remember
    learning    the recipe of one: its batches, its loss
    counting    what a trained one recalls

No model comes of it: `python -m benchmarks.remembering` trains and counts them all.
"""
