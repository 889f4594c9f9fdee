// A C++ program that has a child on a node made of itself: an exception passes through the frame
// that made the call, thread_local objects and streams go on.
#include <cstdio>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <thread>
#include <unistd.h>

struct Counted {
    static int alive;
    std::string text = "made before the move, long enough to lie on the heap";
    Counted() { alive++; }
    ~Counted() { alive--; }
};
int Counted::alive = 0;

static thread_local Counted counted;

static void move_and_throw(int node) {
    Counted local;
    int number = bproc_rfork(node);
    if (number < 0) throw std::runtime_error(bproc_reason());
    throw std::out_of_range(number == 0 ? "child" : "parent");
}

int main(int count, char **list) {
    std::map<std::string, int> map;
    for (int i = 0; i < 1000; i++) map["key " + std::to_string(i)] = i;
    counted.text += "!";
    std::string who;
    try {
        move_and_throw(count > 1 ? std::atoi(list[1]) : 0);
    } catch (const std::out_of_range &error) {
        who = error.what();
    } catch (const std::exception &error) {
        who = std::string("failed: ") + error.what();
    }
    bool right = map["key 777"] == 777 && Counted::alive == 1 && counted.text.back() == '!';
    int sum = 0;
    std::thread([&] { sum = (int)map.size() + Counted::alive; }).join();
    right = right && sum == 1001;
    std::cout << who << ": " << (right ? "right" : "wrong") << std::endl;
    if (who == "parent") sleep(1);
    return right ? 0 : 1;
}
