"""What does a run look like?  Its file becomes one page for people, and pictures.

``gather`` takes from a file what pictures need, as plain data; ``story`` orders and
names it; ``figures`` has a file for each picture, which says what it finds and draws
it; ``sheet`` is what they are drawn on; ``swept_points`` and ``many_runs`` compare the
files of a sweep; ``html_page`` fills the template.

matplotlib and Jinja2 are loaded only when they are used.
"""
