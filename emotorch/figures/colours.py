"""The colours of all pictures; a module of its own, for what is drawn without Matplotlib.

They are Okabe and Ito's ("Color Universal Design", 2008), which colour-blind readers can tell apart.
"""

BLACK, ORANGE, BLUE, VERMILLION = "#000000", "#E69F00", "#0072B2", "#D55E00"
GREEN, PURPLE, SKY, GREY, PALE = "#009E73", "#CC79A7", "#56B4E9", "#9A9A9A", "#E8E8E8"
