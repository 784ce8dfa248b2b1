/* Linked statically: calls the kernel itself. */
int main(void) {
  return 0;
}
