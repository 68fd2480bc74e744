/* A type whose instances are called without a tuple of arguments being made (PEP 590). */
#ifndef FASTWS_CALLABLES_H
#define FASTWS_CALLABLES_H

#include <Python.h>

static void fastws_install_vectorcall(PyTypeObject *type, Py_ssize_t offset)
{
    type->tp_vectorcall_offset = offset;
    type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    type->tp_call = PyVectorcall_Call;
    PyType_Modified(type);
}

#endif
