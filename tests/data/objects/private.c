/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing to start: the only function is static. */
__attribute__((used)) static int hidden(int x)
{
    return x;
}
