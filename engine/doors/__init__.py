"""What a user's file brings along: functions that kernels call, and their arrays.

``own_array`` declares an array, ``user_function`` compiles a function and says what is
wrong with it.
"""
