/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a variable that nobody defines. */
extern int no_such_variable;

__attribute__((section("test.entry"))) int entry(void)
{
    return no_such_variable;
}
