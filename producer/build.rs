//! Makes the programs smaller.

fn main() {
    rivulet_link::pack_relocations();
}
