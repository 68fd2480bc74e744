/* The slots that `await` and tasks call on what receive() and send() return, and on `Driver`.
 *
 * CPython 3.11 asks for `am_send`, which hands a value over without an exception; later versions
 * ask for `tp_iternext`, from which it leaves in a StopIteration. Raised from Cython, that would
 * get a traceback each time (0.4 us for each message).
 */
#ifndef FASTWS_STEP_H
#define FASTWS_STEP_H

#include <Python.h>

/* Gives 1 and a new reference to the value that `await` returns, 0 and a new reference to what
 * the task waits for, or -1 with an exception set. */
typedef int (*fastws_stepper)(PyObject *self, PyObject **result);

static fastws_stepper fastws_receive_step;
static fastws_stepper fastws_driver_step;

static PyObject *fastws_receive_next(PyObject *self)
{
    PyObject *result = NULL;
    int code = fastws_receive_step(self, &result);
    if (code == 0)
        return result;
    if (code == 1) {
        /* A tuple would be taken for the arguments of the exception, an exception for it. */
        if (PyTuple_Check(result) || PyExceptionInstance_Check(result)) {
            PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
            Py_DECREF(result);
            if (stop == NULL)
                return NULL;
            result = stop;
        }
        PyErr_SetObject(PyExc_StopIteration, result);
        Py_DECREF(result);
    }
    return NULL;
}

static PySendResult fastws_receive_send(PyObject *self, PyObject *Py_UNUSED(arg), PyObject **result)
{
    int code;
    *result = NULL;
    code = fastws_receive_step(self, result);
    return code == 0 ? PYGEN_NEXT : code == 1 ? PYGEN_RETURN : PYGEN_ERROR;
}

static PySendResult fastws_sent_send(
    PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arg), PyObject **result)
{
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PySendResult fastws_driver_send(PyObject *self, PyObject *Py_UNUSED(arg), PyObject **result)
{
    int code;
    *result = NULL;
    code = fastws_driver_step(self, result);
    return code == 0 ? PYGEN_NEXT : code == 1 ? PYGEN_RETURN : PYGEN_ERROR;
}

/* Steps a coroutine, with the codes of a stepper. */
static int fastws_step(PyObject *coroutine, PyObject **result)
{
    switch (PyIter_Send(coroutine, Py_None, result)) {
    case PYGEN_NEXT:
        return 0;
    case PYGEN_RETURN:
        return 1;
    default:
        return -1;
    }
}

static void fastws_install_slots(
    PyTypeObject *receive, fastws_stepper receive_step, PyTypeObject *sent,
    PyTypeObject *driver, fastws_stepper driver_step)
{
    fastws_receive_step = receive_step;
    receive->tp_iternext = fastws_receive_next;
    receive->tp_as_async->am_send = fastws_receive_send;
    sent->tp_as_async->am_send = fastws_sent_send;
    fastws_driver_step = driver_step;
    driver->tp_as_async->am_send = fastws_driver_send;
    PyType_Modified(receive);
    PyType_Modified(sent);
    PyType_Modified(driver);
}

#endif
