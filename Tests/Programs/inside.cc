// C++ after a move: exceptions, thread_local with a destructor, iostream, threads, static objects.
#include <atomic>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static std::map<std::string, int> table = {{"one", 1}, {"two", 2}};
static std::atomic<int> destroyed = 0;

struct Counted {
    int value = 5;
    ~Counted() { destroyed++; }
};
static thread_local Counted counted;

static int deep(int levels) {
    std::string text(static_cast<size_t>(levels), 'x');
    if (levels == 0) throw std::runtime_error("from the deep");
    return deep(levels - 1) + static_cast<int>(text.size());
}

int main(int count, char **list) {
    if (count != 2 || std::string(list[1]) != "argument") return 1;
    if (table["two"] != 2 || counted.value != 5) return 2;
    try {
        deep(100);
        return 3;
    } catch (const std::exception &error) {
        if (std::string(error.what()) != "from the deep") return 4;
    }
    std::vector<std::thread> threads;
    int sums[4] = {};
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&sums, i] {
            counted.value += i;
            try {
                throw i;
            } catch (int thrown) {
                sums[i] = counted.value + thrown;
            }
        });
    for (auto &thread : threads) thread.join();
    for (int i = 0; i < 4; i++)
        if (sums[i] != 5 + 2 * i) return 5;
    if (destroyed != 4) return 6;
    std::ostringstream stream;
    stream << 1.5 << " " << table.size();
    if (stream.str() != "1.5 2") return 7;
    std::cout << "c++: all well" << std::endl;
    return 42;
}
