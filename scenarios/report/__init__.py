"""What does a run look like?  Its file becomes one page for people, and pictures.

``gather`` takes from a file what pictures need, as plain data; ``story`` orders and
names it; ``figures`` has a file for each picture, which says what it finds and draws
it; ``sheet`` is what they are drawn on; ``many_runs`` compares the files of a sweep;
``page`` fills the template.  matplotlib and Jinja2 are loaded only when they are used.
"""
