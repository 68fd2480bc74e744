/* The slot that `await` calls on what receive() returns.
 *
 * The value leaves it in a StopIteration. Raised from Cython, each would get a traceback; here
 * it gets none (benchmarks/codec.py: 0.4 us for each message).
 */
#ifndef FASTWS_STEP_H
#define FASTWS_STEP_H

#include <Python.h>

/* Gives 1 and a new reference to the value that `await` returns, 0 and a new reference to what
 * the task waits for, or -1 with an exception set. */
typedef int (*fastws_stepper)(PyObject *self, PyObject **result);

static fastws_stepper fastws_receive_step;

static PyObject *fastws_receive_next(PyObject *self)
{
    PyObject *result = NULL;
    int code = fastws_receive_step(self, &result);
    if (code == 0)
        return result;
    if (code == 1) {
        /* Takes the bare value as it is unless it is a tuple or an exception: it never is. */
        PyErr_SetObject(PyExc_StopIteration, result);
        Py_DECREF(result);
    }
    return NULL;
}

static void fastws_install_step(PyTypeObject *type, fastws_stepper step)
{
    fastws_receive_step = step;
    type->tp_iternext = fastws_receive_next;
    PyType_Modified(type);
}

#endif
