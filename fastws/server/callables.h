/* A type whose instances are called without a tuple of arguments being made (PEP 590). */
#ifndef FASTWS_CALLABLES_H
#define FASTWS_CALLABLES_H

#include <Python.h>

/* What the statements in a class body would do, for names that are known at run time only. */
static int fastws_set_type_attribute(PyTypeObject *type, PyObject *name, PyObject *value)
{
    int code = PyDict_SetItem(type->tp_dict, name, value);
    PyType_Modified(type);
    return code;
}

static void fastws_install_vectorcall(PyTypeObject *type, Py_ssize_t offset)
{
    type->tp_vectorcall_offset = offset;
    type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    type->tp_call = PyVectorcall_Call;
    PyType_Modified(type);
}

#endif
