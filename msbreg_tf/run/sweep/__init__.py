"""Many runs as one: a grid of settings, where its points run, and the table they end in.

<workdir>/sweep.json        the points, their settings, and what is measured of each
<workdir>/<point>/          an ordinary run, with sweep.log, and .sweep/ for its lock and state
<workdir>/table.*           the results, as text, CSV, Markdown and a picture
"""
