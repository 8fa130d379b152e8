"""Speech segments: where in a recording somebody speaks.

Here belongs reading sound, the voice detector and the small HTTP service around them. Like the other examples it knows
nothing of Tidegate: it reads `PORT`, answers HTTP and stops on SIGTERM.
"""
